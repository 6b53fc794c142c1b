// client-go's SharedInformer over the pods of a namespace, with its default settings: prints what its handler is told, a
// line a call, for benchmarks/soak.py to follow. SERVER, CA_FILE, TOKEN and NAMESPACE say where.
// KUBE_FEATURE_WatchListClient=false makes it list and watch; its default is a streaming list.
//
//	go mod init follow && go get k8s.io/client-go@v0.37.2 && go build -o client_go .
package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func told(what string, obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	pod := obj.(*corev1.Pod)
	fmt.Println(what, pod.Name, pod.ResourceVersion)
}

func main() {
	config := &rest.Config{Host: os.Getenv("SERVER"), BearerToken: os.Getenv("TOKEN")}
	config.CAFile = os.Getenv("CA_FILE")
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	factory := informers.NewSharedInformerFactoryWithOptions(
		kubernetes.NewForConfigOrDie(config), 0, informers.WithNamespace(os.Getenv("NAMESPACE")))
	informer := factory.Core().V1().Pods().Informer()
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { told("add", obj) },
		UpdateFunc: func(_, obj any) { told("update", obj) },
		DeleteFunc: func(obj any) { told("delete", obj) },
	})
	informer.RunWithContext(context.Background())
}
