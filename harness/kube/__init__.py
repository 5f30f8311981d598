"""What targets and faults share on Kubernetes: the API as a seam, pods, agents on nodes, dead man's switches."""
