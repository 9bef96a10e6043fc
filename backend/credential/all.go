package credential

import "reflect"

// All finds the credentials in a backend's settings: every Source that is Given
// in config, a struct, and in the structs, pointers, lists and maps in it.
func All(config any) []Source {
	var all []Source
	walk(reflect.ValueOf(config), func(s Source) { all = append(all, s) })
	return all
}

// Secrets are the paths of the secrets among All, for policy.Driver.
func Secrets(config any) []string {
	var paths []string
	for _, s := range All(config) {
		if s.Kind == Secret {
			paths = append(paths, s.Name)
		}
	}
	return paths
}

var sourceType = reflect.TypeFor[Source]()

func walk(v reflect.Value, each func(Source)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), each)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), each)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(it.Value(), each)
		}
	case reflect.Struct:
		walkFields(v, each)
	}
}

func walkFields(v reflect.Value, each func(Source)) {
	if v.Type() == sourceType {
		if s, ok := v.Interface().(Source); ok && s.Given() {
			each(s)
		}
		return
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			walk(v.Field(i), each)
		}
	}
}
