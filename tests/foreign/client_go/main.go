// What client-go does to a cluster: each check uses one of its parts as users do, without configuring it.
//
// Usage: client_go KUBECONFIG NAMESPACE. It prints the name of each check that passes, and ends with 1 at the first that fails.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
)

const deadline = 20 * time.Second

var (
	labels     = map[string]string{"app": "foreign"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

type suite struct {
	ctx       context.Context
	config    *rest.Config
	namespace string
	typed     *kubernetes.Clientset
	dynamic   *dynamic.DynamicClient
	metadata  metadata.Interface
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Errorf(format, args...))
	}
}

func eventually(what string, condition func() bool) {
	err := wait.PollUntilContextTimeout(context.Background(), 5*time.Millisecond, deadline, true,
		func(context.Context) (bool, error) { return condition(), nil })
	expect(err == nil, "%s: not within %v", what, deadline)
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: data}
}

// The typed client writes and reads protobuf, its default for built-in kinds.
func (s *suite) typedClient() {
	maps := s.typed.CoreV1().ConfigMaps(s.namespace)
	made := must(maps.Create(s.ctx, configMap("typed", map[string]string{"a": "b"}), metav1.CreateOptions{}))
	_, err := maps.Create(s.ctx, configMap("typed", nil), metav1.CreateOptions{})
	expect(apierrors.IsAlreadyExists(err), "created twice: %v", err)
	made.Data["a"] = "c"
	must(maps.Update(s.ctx, made, metav1.UpdateOptions{}))
	_, err = maps.Update(s.ctx, made, metav1.UpdateOptions{})
	expect(apierrors.IsConflict(err), "updated an old version: %v", err)
	check(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current := must(maps.Get(s.ctx, "typed", metav1.GetOptions{}))
		current.BinaryData = map[string][]byte{"d": {0, 1}}
		_, err := maps.Update(s.ctx, current, metav1.UpdateOptions{})
		return err
	}))
	for _, each := range []struct {
		kind  types.PatchType
		patch string
	}{
		{types.StrategicMergePatchType, `{"data":{"e":"f"}}`},
		{types.MergePatchType, `{"data":{"a":null}}`},
		{types.JSONPatchType, `[{"op":"add","path":"/data/g","value":"h"}]`},
	} {
		must(maps.Patch(s.ctx, "typed", each.kind, []byte(each.patch), metav1.PatchOptions{}))
	}
	found := must(maps.List(s.ctx, metav1.ListOptions{LabelSelector: "app=foreign", FieldSelector: "metadata.name=typed"}))
	expect(len(found.Items) == 1 && fmt.Sprint(found.Items[0].Data) == "map[e:f g:h]", "listed %v", found.Items)
	check(maps.Delete(s.ctx, "typed", *metav1.NewPreconditionDeleteOptions(string(made.UID))))
	_, err = maps.Get(s.ctx, "typed", metav1.GetOptions{})
	expect(apierrors.IsNotFound(err), "deleted: %v", err)
}

func (s *suite) workloads() {
	replicas := int32(2)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	web.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}
	deployments := s.typed.AppsV1().Deployments(s.namespace)
	must(deployments.Create(s.ctx, web, metav1.CreateOptions{}))
	scale := must(deployments.GetScale(s.ctx, "web", metav1.GetOptions{}))
	scale.Spec.Replicas = 5
	must(deployments.UpdateScale(s.ctx, "web", scale, metav1.UpdateOptions{}))
	made := must(deployments.Get(s.ctx, "web", metav1.GetOptions{}))
	expect(*made.Spec.Replicas == 5, "scaled to %d", *made.Spec.Replicas)
	made.Status.ObservedGeneration = made.Generation
	must(deployments.UpdateStatus(s.ctx, made, metav1.UpdateOptions{}))
	pods := s.typed.CoreV1().Pods(s.namespace)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: labels}, Spec: template.Spec}
	made2 := must(pods.Create(s.ctx, pod, metav1.CreateOptions{}))
	made2.Status.Phase = corev1.PodRunning
	must(pods.UpdateStatus(s.ctx, made2, metav1.UpdateOptions{}))
	running := must(pods.List(s.ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"}))
	expect(len(running.Items) == 1, "%d pods run", len(running.Items))
	check(pods.EvictV1(s.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "pod"}}))
	check(deployments.DeleteCollection(s.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
}

// A watch from a resourceVersion, and one that begins with the state (WatchList).
func (s *suite) watches() {
	maps := s.typed.CoreV1().ConfigMaps(s.namespace)
	made := must(maps.Create(s.ctx, configMap("watched", nil), metav1.CreateOptions{}))
	check(maps.Delete(s.ctx, "watched", metav1.DeleteOptions{}))
	watcher := must(maps.Watch(s.ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion}))
	event := <-watcher.ResultChan()
	expect(event.Type == watch.Deleted, "the watch began with %s", event.Type)
	watcher.Stop()
	yes := true
	options := metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, FieldSelector: "metadata.name=none",
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
	watcher = must(maps.Watch(s.ctx, options))
	event = <-watcher.ResultChan()
	ends := event.Object.(*corev1.ConfigMap).Annotations[metav1.InitialEventsAnnotationKey] == "true"
	expect(event.Type == watch.Bookmark && ends, "the state ended with %v", event)
	watcher.Stop()
	_, err := maps.List(s.ctx, metav1.ListOptions{ResourceVersion: "99999999", ResourceVersionMatch: "NotOlderThan"})
	expect(apierrors.IsTimeout(err), "listed the future: %v", err)
}

// Informers of the typed, dynamic and metadata clients.
func (s *suite) informers() {
	var typed, untyped, partial, deleted atomic.Int32
	handler := func(count *atomic.Int32) cache.ResourceEventHandler {
		return cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { count.Add(1) },
			DeleteFunc: func(any) { deleted.Add(1) },
		}
	}
	maps := s.typed.CoreV1().ConfigMaps(s.namespace)
	must(maps.Create(s.ctx, configMap("before", nil), metav1.CreateOptions{}))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	one := informers.NewSharedInformerFactoryWithOptions(s.typed, 0, informers.WithNamespace(s.namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "app=foreign" }))
	must(one.Core().V1().ConfigMaps().Informer().AddEventHandler(handler(&typed)))
	two := dynamicFactory(s)
	must(two.ForResource(configMaps).Informer().AddEventHandler(handler(&untyped)))
	three := metadatainformer.NewFilteredSharedInformerFactory(s.metadata, 0, s.namespace,
		func(options *metav1.ListOptions) { options.LabelSelector = "app=foreign" })
	must(three.ForResource(configMaps).Informer().AddEventHandler(handler(&partial)))
	one.Start(ctx.Done())
	two.Start(ctx.Done())
	three.Start(ctx.Done())
	one.WaitForCacheSync(ctx.Done())
	two.WaitForCacheSync(ctx.Done())
	three.WaitForCacheSync(ctx.Done())
	for n := range 20 {
		must(maps.Create(s.ctx, configMap(fmt.Sprintf("informed-%d", n), nil), metav1.CreateOptions{}))
	}
	eventually("informers see 21 objects", func() bool { return typed.Load() == 21 && untyped.Load() == 21 && partial.Load() == 21 })
	check(maps.DeleteCollection(s.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=foreign"}))
	eventually("informers see 63 deletions", func() bool { return deleted.Load() == 63 })
}

func (s *suite) serverSideApply() {
	maps := s.typed.CoreV1().ConfigMaps(s.namespace)
	of := func(value string) *applycorev1.ConfigMapApplyConfiguration {
		return applycorev1.ConfigMap("applied", s.namespace).WithData(map[string]string{"a": value})
	}
	must(maps.Apply(s.ctx, of("b"), metav1.ApplyOptions{FieldManager: "one"}))
	_, err := maps.Apply(s.ctx, of("c"), metav1.ApplyOptions{FieldManager: "two"})
	expect(apierrors.IsConflict(err), "two managers own a field: %v", err)
	made := must(maps.Apply(s.ctx, of("c"), metav1.ApplyOptions{FieldManager: "two", Force: true}))
	own := must(applycorev1.ExtractConfigMap(made, "two"))
	expect(own.Data["a"] == "c", "extracted %v", own.Data)
	empty := applycorev1.ConfigMap("applied", s.namespace)
	made = must(maps.Apply(s.ctx, empty, metav1.ApplyOptions{FieldManager: "two"}))
	expect(len(made.Data) == 0, "a field that its manager dropped is still there: %v", made.Data)
}

// A custom resource through the dynamic client, and discovery of its kind.
func (s *suite) customResources() {
	group := s.namespace + ".example.com"
	version := map[string]any{"name": "v1", "served": true, "storage": true,
		"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "toys." + group},
		"spec": map[string]any{"group": group, "scope": "Namespaced", "versions": []any{version},
			"names": map[string]any{"plural": "toys", "kind": "Toy", "singular": "toy", "listKind": "ToyList"}},
	}}
	must(s.dynamic.Resource(crds).Create(s.ctx, definition, metav1.CreateOptions{}))
	toys := s.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "toys"}).Namespace(s.namespace)
	eventually("the resource is served", func() bool {
		_, err := toys.List(s.ctx, metav1.ListOptions{})
		return err == nil
	})
	toy := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/v1", "kind": "Toy",
		"metadata": map[string]any{"name": "t"}, "spec": map[string]any{"size": int64(1)}}}
	made := must(toys.Create(s.ctx, toy, metav1.CreateOptions{}))
	expect(made.GetGeneration() == 1, "generation %d", made.GetGeneration())
	client := must(discovery.NewDiscoveryClientForConfig(s.config))
	eventually("the kind is discovered", func() bool {
		mapper := restmapper.NewDiscoveryRESTMapper(must(restmapper.GetAPIGroupResources(client)))
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: group, Kind: "Toy"})
		return err == nil && mapping.Resource.Resource == "toys"
	})
	must(client.OpenAPISchema())
	paths := must(client.OpenAPIV3().Paths())
	must(paths["apis/apps/v1"].Schema("application/json"))
	check(s.dynamic.Resource(crds).Delete(s.ctx, "toys."+group, metav1.DeleteOptions{}))
}

func (s *suite) leaderElection() {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var led, stopped atomic.Bool
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "leader", Namespace: s.namespace},
		Client: s.typed.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: "me"}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 50 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { led.Store(true) },
				OnStoppedLeading: func() { stopped.Store(true) },
			}})
	}()
	eventually("the candidate leads", led.Load)
	lease := must(s.typed.CoordinationV1().Leases(s.namespace).Get(s.ctx, "leader", metav1.GetOptions{}))
	expect(*lease.Spec.HolderIdentity == "me", "the holder is %s", *lease.Spec.HolderIdentity)
	cancel()
	<-done
	lease = must(s.typed.CoordinationV1().Leases(s.namespace).Get(s.ctx, "leader", metav1.GetOptions{}))
	expect(stopped.Load() && *lease.Spec.HolderIdentity == "", "the lease was not released")
}

func (s *suite) events() {
	broadcaster := record.NewBroadcaster(record.WithContext(s.ctx))
	defer broadcaster.Shutdown()
	events := s.typed.CoreV1().Events(s.namespace)
	broadcaster.StartRecordingToSink(&eventSink{events})
	pod := &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: s.namespace, Name: "p"}
	recorder := broadcaster.NewRecorder(clientScheme, corev1.EventSource{Component: "foreign"})
	for range 3 {
		recorder.Event(pod, corev1.EventTypeWarning, "Odd", "something is odd")
	}
	eventually("three events are counted", func() bool {
		found := must(events.List(s.ctx, metav1.ListOptions{FieldSelector: "reason=Odd"}))
		return len(found.Items) == 1 && found.Items[0].Count == 3
	})
}

func main() {
	config := must(clientcmd.BuildConfigFromFlags("", os.Args[1]))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := &suite{ctx: ctx, config: config, namespace: os.Args[2], typed: must(kubernetes.NewForConfig(config)),
		dynamic: must(dynamic.NewForConfig(config)), metadata: must(metadata.NewForConfig(config))}
	for _, each := range []struct {
		name string
		run  func()
	}{
		{"typed client", s.typedClient}, {"workloads", s.workloads}, {"watches", s.watches}, {"informers", s.informers},
		{"server-side apply", s.serverSideApply}, {"custom resources", s.customResources},
		{"leader election", s.leaderElection}, {"events", s.events},
	} {
		if len(os.Args) > 3 && os.Args[3] != each.name {
			continue
		}
		func() {
			defer func() {
				if failure := recover(); failure != nil {
					fmt.Printf("%s: FAILED: %v\n", each.name, failure)
					os.Exit(1)
				}
			}()
			each.run()
		}()
		fmt.Println(each.name)
	}
}
