#!/bin/bash
# holder.sh FOLDER SHARED_SOURCE SHARED PATH…: keeps a node's mount namespace. In it each PATH is the node's own, SHARED is the same on every
# node, and /run/netns (pods' namespaces) is the node's own too; all mounts end with the node's last process.
# Run by `unshare --mount --propagation private`.
set -eu
folder=$1 source=$2 shared=$3; shift 3
mount --make-rshared /    # what containerd and kubelet mount must reach the pods
mount -t tmpfs testbed /run/netns
mount --bind "$source" "$shared"
for path in "$@"; do
  mkdir -p "$folder/own$path"
  mount --bind "$folder/own$path" "$path"
done
: > "$folder/mounted"
exec sleep infinity
