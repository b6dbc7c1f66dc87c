// Command elector takes part in a leader election with client-go, as the Go controller does, and does nothing as the leader.
//
//	elector KUBECONFIG NAMESPACE NAME IDENTITY LEASE-DURATION RENEW-DEADLINE RETRY-PERIOD
//
// It prints "leading" when it becomes the leader and "lost" when it is none any more, and then exits. After SIGTERM it releases
// the Lease.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func main() {
	if len(os.Args) != 8 {
		log.Fatal("usage: elector KUBECONFIG NAMESPACE NAME IDENTITY LEASE-DURATION RENEW-DEADLINE RETRY-PERIOD")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	must(err)
	client, err := kubernetes.NewForConfig(config)
	must(err)
	identity := resourcelock.ResourceLockConfig{Identity: os.Args[4]}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, os.Args[2], os.Args[3], client.CoreV1(), client.CoordinationV1(), identity)
	must(err)
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   duration(os.Args[5]),
		RenewDeadline:   duration(os.Args[6]),
		RetryPeriod:     duration(os.Args[7]),
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { fmt.Println("leading") },
			OnStoppedLeading: func() { fmt.Println("lost") },
		},
	})
	must(err)
	elector.Run(stopped)
}

func duration(text string) time.Duration {
	parsed, err := time.ParseDuration(text)
	must(err)
	return parsed
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
