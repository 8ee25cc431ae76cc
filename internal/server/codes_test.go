package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// codes returns every code of problems that package api names, as its source
// says them, so that none can be forgotten here.
func codes(t *testing.T) []string {
	t.Helper()
	return constants(t, "../../api/problem.go", func(name, _ string) bool { return strings.HasPrefix(name, "Code") })
}

// kinds returns every kind of error of package iam that a caller may hear.
func kinds(t *testing.T) []string {
	t.Helper()
	return constants(t, "../iam/error.go", func(_, typ string) bool { return typ == "Kind" })
}

// constants returns the values of a file's constants of texts.
func constants(t *testing.T, file string, wanted func(name, typ string) bool) (values []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		typ := ""
		if id, ok := spec.Type.(*ast.Ident); ok {
			typ = id.Name
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING && wanted(spec.Names[0].Name, typ) {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, text)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no such constants", file)
	}
	return values
}

func TestEveryKindIsACodeOfTheAPI(t *testing.T) {
	known := map[string]bool{}
	for _, c := range codes(t) {
		known[c] = true
	}
	for _, k := range kinds(t) {
		if !known[k] {
			t.Errorf("the kind %s has no code in package api", k)
		}
	}
}
