package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

var clientScheme = scheme.Scheme

func dynamicFactory(s *suite) dynamicinformer.DynamicSharedInformerFactory {
	return dynamicinformer.NewFilteredDynamicSharedInformerFactory(s.dynamic, 0, s.namespace,
		func(options *metav1.ListOptions) { options.LabelSelector = "app=foreign" })
}

// eventSink writes events through the typed client, as typedcorev1.EventSinkImpl does.
type eventSink struct {
	events typedcorev1.EventInterface
}

func (s *eventSink) Create(event *corev1.Event) (*corev1.Event, error) {
	return s.events.CreateWithEventNamespaceWithContext(context.Background(), event)
}

func (s *eventSink) Update(event *corev1.Event) (*corev1.Event, error) {
	return s.events.UpdateWithEventNamespaceWithContext(context.Background(), event)
}

func (s *eventSink) Patch(event *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.events.PatchWithEventNamespaceWithContext(context.Background(), event, data)
}
