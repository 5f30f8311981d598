// gpu-sim is a kubelet device plugin for graphics cards that do not exist. A card is a file in the folder DEVICES: a missing
// file is a card that was unplugged. The first start on a node makes COUNT of them.
//
// A container that is given cards gets their names in NVIDIA_VISIBLE_DEVICES and the folder at MOUNT, so that an unplugged
// card also vanishes for who uses it. Within a second kubelet is told that it is Unhealthy; Healthy when the file is back.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "gpu-sim.sock"

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

var (
	resource = env("RESOURCE", "nvidia.com/gpu")
	folder   = env("DEVICES", "/var/local/gpus")
	mount    = env("MOUNT", "/run/gpu-sim")
)

// makeDevices fills the folder once: a card that was unplugged stays so when the plugin is started again.
func makeDevices(count int) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	known := filepath.Join(folder, ".count")
	if _, err := os.Stat(known); err == nil {
		return nil
	}
	for i := range count {
		if err := os.WriteFile(filepath.Join(folder, "gpu-"+strconv.Itoa(i)), nil, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(known, []byte(strconv.Itoa(count)), 0o644)
}

type plugin struct {
	api.UnimplementedDevicePluginServer
	count int
}

func (p plugin) devices() []*api.Device {
	var all []*api.Device
	for i := range p.count {
		device := &api.Device{ID: "gpu-" + strconv.Itoa(i), Health: api.Healthy}
		if _, err := os.Stat(filepath.Join(folder, device.ID)); err != nil {
			device.Health = api.Unhealthy
		}
		all = append(all, device)
	}
	return all
}

func (plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	var told []string
	for {
		devices := p.devices()
		var state []string
		for _, device := range devices {
			state = append(state, device.ID+" "+device.Health)
		}
		if !slices.Equal(state, told) {
			if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
				return err
			}
			log.Print(state)
			told = state
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(time.Second / 2):
		}
	}
}

func (plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Envs:   map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
			Mounts: []*api.Mount{{ContainerPath: mount, HostPath: folder, ReadOnly: true}},
		})
	}
	return response, nil
}

func (plugin) PreStartContainer(context.Context, *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	return &api.PreStartContainerResponse{}, nil
}

// serve answers kubelet until kubelet goes away: one that starts again deletes every plugin's socket and expects a new registration.
func serve(p plugin) error {
	path := api.DevicePluginPath + socket
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go server.Serve(listener)
	defer server.Stop()
	kubelet, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource, Options: &api.DevicePluginOptions{}}
	if _, err = api.NewRegistrationClient(kubelet).Register(ctx, request); err != nil {
		return err
	}
	log.Printf("registered %d of %s", p.count, resource)
	for {
		time.Sleep(time.Second)
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
}

func main() {
	count, err := strconv.Atoi(env("COUNT", "2"))
	if err != nil {
		log.Fatal("COUNT: ", err)
	}
	if err := makeDevices(count); err != nil {
		log.Fatal(err)
	}
	for {
		log.Print(serve(plugin{count: count}))
		time.Sleep(time.Second)
	}
}
