package server

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ErrorPages returns the pages of docs/errors by the names of their files: one for
// each code, at the address that problems carry as their type, and the list of them.
// An error says that a code is explained and not in the table of failures.
func ErrorPages() (map[string]string, error) {
	pages := map[string]string{}
	var list strings.Builder
	list.WriteString("# Errors\n\n" + writtenFromTable + `Every answer that is not a success is a problem (RFC 9457, ` + "`application/problem+json`" + `). Its ` + "`code`" + ` is what a program
decides by, and does not change; its ` + "`type`" + ` is the address of the page here. Quote the ` + "`request_id`" + ` when you ask for
help: it stands in the server's log.

| status | code | meaning |
|---|---|---|
`)
	for _, e := range explanations() {
		f, known := failureOf(e.code)
		if !known {
			return nil, fmt.Errorf("%s is explained and not in the table of failures", e.code)
		}
		page, err := errorPage(e, f)
		if err != nil {
			return nil, fmt.Errorf("the page of %s: %w", e.code, err)
		}
		pages[e.code+".md"] = page
		fmt.Fprintf(&list, "| %d | [`%s`](%s.md) | %s |\n", f.status, e.code, e.code, f.title)
	}
	pages["README.md"] = list.String()
	return pages, nil
}

const writtenFromTable = "<!-- Written by internal/server from its table of failures: make generate. -->\n\n"

func errorPage(e explanation, f kindOfFailure) (string, error) {
	example, err := json.MarshalIndent(newProblem(e.code, "req_01jn8x0c2vf3hs5r6tq7w8y9za", e.detail).Problem, "", "  ")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("# %s\n\n%sCode `%s`, status %d. [All errors](README.md)\n\n## What it means\n\n%s\n\n## What to do\n\n%s\n\n"+
		"## Example\n\n```http\nHTTP/1.1 %d\nContent-Type: application/problem+json\n\n%s\n```\n",
		f.title, writtenFromTable, e.code, f.status, e.means, e.do, f.status, example), nil
}
