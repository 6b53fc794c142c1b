// client-go's SharedInformer of the pods of a namespace, with its default settings, for comparison in the benchmarks. SERVER,
// CA_FILE, TOKEN and NAMESPACE configure it. It prints one line per call of its handler. With COUNT=1 it prints only reports:
// one for each line on its standard input, like _follower.py.
// With CONTENT_TYPE=application/json it uses JSON, as for custom resources; the default is protobuf.
// With KUBE_FEATURE_WatchListClient=false it lists and watches; the default is a streaming list.
//
//	go mod init follow && go get k8s.io/client-go@v0.37.2 && go mod tidy && go build -o client_go .
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func report(what string, obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	pod := obj.(*corev1.Pod)
	fmt.Println(what, pod.Name, pod.ResourceVersion)
}

func cpu() float64 {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func residentMB() float64 {
	status, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseFloat(strings.Fields(string(status))[1], 64)
	return pages * float64(os.Getpagesize()) / 1e6
}

// answer prints a report for each line on standard input, until that ends.
func answer(informer cache.SharedIndexInformer, calls, synced *atomic.Int64, used, resident float64) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		json.NewEncoder(os.Stdout).Encode(map[string]any{
			"calls": calls.Load(), "synced_s": float64(synced.Load()) / 1e9, "cpu_s": cpu() - used, "rss_mb": residentMB(),
			"growth_mb": residentMB() - resident, "objects": len(informer.GetStore().ListKeys()),
		})
	}
}

func main() {
	config := &rest.Config{Host: os.Getenv("SERVER"), BearerToken: os.Getenv("TOKEN")}
	config.CAFile = os.Getenv("CA_FILE")
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	if wanted := os.Getenv("CONTENT_TYPE"); wanted != "" {
		config.ContentType, config.AcceptContentTypes = wanted, wanted
	}
	factory := informers.NewSharedInformerFactoryWithOptions(
		kubernetes.NewForConfigOrDie(config), 0, informers.WithNamespace(os.Getenv("NAMESPACE")))
	informer := factory.Core().V1().Pods().Informer()
	if os.Getenv("COUNT") == "" {
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { report("add", obj) },
			UpdateFunc: func(_, obj any) { report("update", obj) },
			DeleteFunc: func(obj any) { report("delete", obj) },
		})
		informer.RunWithContext(context.Background())
		return
	}
	var calls, synced atomic.Int64
	registration, _ := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { calls.Add(1) },
		UpdateFunc: func(_, _ any) { calls.Add(1) },
		DeleteFunc: func(any) { calls.Add(1) },
	})
	began, used, resident := time.Now(), cpu(), residentMB()
	go informer.RunWithContext(context.Background())
	go func() {
		for !registration.HasSynced() {
			time.Sleep(time.Millisecond)
		}
		synced.Store(int64(time.Since(began)))
	}()
	answer(informer, &calls, &synced, used, resident)
}
