package server

import (
	"slices"
	"testing"

	"github.com/posternhq/postern/api"
)

func TestFailuresAndExplanationsHaveTheSameCodesOnce(t *testing.T) {
	var table, explained []string
	for _, f := range failures() {
		table = append(table, f.code)
		if f.status < 400 || f.title == "" {
			t.Errorf("%s: status %d, title %q", f.code, f.status, f.title)
		}
	}
	for _, e := range explanations() {
		explained = append(explained, e.code)
		if e.means == "" || e.do == "" || e.detail == "" {
			t.Errorf("%s is not explained", e.code)
		}
	}
	slices.Sort(table)
	slices.Sort(explained)
	if !slices.Equal(table, explained) || len(slices.Compact(table)) != len(explained) {
		t.Errorf("the table has %v, the pages %v", table, explained)
	}
	for _, code := range []string{api.CodeInternal, api.CodeStale, api.CodeUnknownField} {
		if !slices.Contains(table, code) {
			t.Errorf("the table has no %s", code)
		}
	}
}
