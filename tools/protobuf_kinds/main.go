// Prints, as JSON, how every built-in kind of Kubernetes is written in protobuf and how its fields are named in JSON.
//
// The .proto files do not say which structs are inlined in JSON and which fields are left out when they are empty: only the
// tags of the Go types do. So this program reads the Go types by reflection. `generate.py` runs it.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Types whose JSON is not that of a struct. The decoder of the Python package knows each letter.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "int_or_string",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "micro_time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "json",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "json",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "json",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "schema_or_bool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "schema_or_array",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schema_or_strings",
}

// A field: its number, its name in JSON ("" where its struct is inlined), its shape, and the type of its value.
//
// Shape: "one", "list" or "map", then flags: "pointer", "omitempty", "omitzero".
type field struct {
	Number int      `json:"number"`
	Name   string   `json:"name"`
	Shape  string   `json:"shape"`
	Flags  []string `json:"flags"`
	Value  string   `json:"value"`
}

var types = map[string][]field{}

func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// value returns the type of a single value: a scalar, a special type, or the name of a struct.
func value(t reflect.Type) string {
	if form, found := special[typeName(t)]; found {
		if strings.HasPrefix(form, "schema_") {
			walk(t)
			return form + ":" + typeName(t)
		}
		return form
	}
	switch t.Kind() {
	case reflect.Struct:
		walk(t)
		return typeName(t)
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return "uint"
	case reflect.Float64:
		return "double"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		// A named slice as a value of a map, such as ExtraValue, is a message with one repeated field.
		if t.Elem().Kind() == reflect.String {
			return "strings"
		}
	case reflect.Interface:
		return "none"
	}
	panic("no form for " + t.String())
}

func fieldOf(f reflect.StructField) (field, bool) {
	tag := f.Tag.Get("protobuf")
	if tag == "" || tag == "-" {
		return field{}, false
	}
	number, err := strconv.Atoi(strings.Split(tag, ",")[1])
	if err != nil {
		panic(err)
	}
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	found := field{Number: number, Name: name, Shape: "one", Flags: []string{}}
	for _, option := range strings.Split(options, ",") {
		if option == "omitempty" || option == "omitzero" {
			found.Flags = append(found.Flags, option)
		}
	}
	if name == "" && !f.Anonymous {
		name = f.Name // a part of a special type, which has JSON of its own
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		found.Flags = append(found.Flags, "pointer")
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && special[typeName(t)] == "" {
		found.Shape = "list"
		t = t.Elem()
	} else if t.Kind() == reflect.Map {
		found.Shape = "map"
		t = t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	found.Value = value(t)
	return found, found.Value != "none"
}

func walk(t reflect.Type) {
	name := typeName(t)
	if _, found := types[name]; found {
		return
	}
	types[name] = nil
	fields := []field{}
	for i := 0; i < t.NumField(); i++ {
		if f, found := fieldOf(t.Field(i)); found {
			fields = append(fields, f)
		}
	}
	sort.Slice(fields, func(i, j int) bool { return fields[i].Number < fields[j].Number })
	types[name] = fields
}

// isObject tells kinds of objects from lists and options.
func isObject(t reflect.Type) bool {
	f, found := t.FieldByName("ObjectMeta")
	return found && f.Type == reflect.TypeOf(meta.ObjectMeta{}) && strings.HasPrefix(f.Tag.Get("protobuf"), "bytes,1,")
}

func main() {
	all := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme} {
		if err := add(all); err != nil {
			panic(err)
		}
	}
	kinds := map[string]string{}
	for gvk, t := range all.AllKnownTypes() {
		if gvk.Version != runtime.APIVersionInternal && isObject(t) {
			walk(t)
			kinds[gvk.GroupVersion().String()+"/"+gvk.Kind] = typeName(t)
		}
	}
	walk(reflect.TypeOf(meta.PartialObjectMetadata{}))
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"kinds": kinds, "types": types}); err != nil {
		panic(err)
	}
}
