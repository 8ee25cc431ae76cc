package docs

import (
	"bytes"
	"fmt"
	"html"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

// blocks shows headings with a link to themselves, and blocks of code.
type blocks struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (blocks) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, heading)
	r.Register(ast.KindFencedCodeBlock, code)
}

func heading(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	h, ok := n.(*ast.Heading)
	if !ok {
		return ast.WalkStop, fmt.Errorf("a heading is a %T", n)
	}
	anchor := html.EscapeString(anchorOf(h))
	if entering {
		_, err := fmt.Fprintf(w, `<h%d id="%s">`, h.Level, anchor)
		return ast.WalkContinue, err
	}
	if h.Level > 1 {
		if _, err := fmt.Fprintf(w, ` <a class="anchor" href="#%s" aria-label="Link to this section">#</a>`, anchor); err != nil {
			return ast.WalkStop, err
		}
	}
	_, err := fmt.Fprintf(w, "</h%d>\n", h.Level)
	return ast.WalkContinue, err
}

// code shows a block of code. In one of a console the prompt, what is typed and
// what is printed are told apart.
func code(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	block, ok := n.(*ast.FencedCodeBlock)
	if !ok {
		return ast.WalkStop, fmt.Errorf("a block of code is a %T", n)
	}
	language := string(block.Language(source))
	_, err := fmt.Fprintf(w, `<div class="code"><pre tabindex="0"><code data-language="%s">`, html.EscapeString(language))
	if err != nil {
		return ast.WalkStop, err
	}
	continued := false
	for i := range block.Lines().Len() {
		segment := block.Lines().At(i)
		line := segment.Value(source)
		if language == "console" {
			continued = consoleLine(w, line, continued)
		} else {
			_, _ = w.WriteString(html.EscapeString(string(line)))
		}
	}
	_, err = w.WriteString("</code></pre></div>\n")
	return ast.WalkSkipChildren, err
}

// consoleLine shows a line, and reports whether the next one goes on with what is
// typed. The writer keeps its errors until code writes the block's end.
func consoleLine(w util.BufWriter, line []byte, continued bool) bool {
	typed, isCommand := bytes.CutPrefix(line, []byte("$ "))
	switch text := html.EscapeString(string(typed)); {
	case isCommand:
		_, _ = fmt.Fprintf(w, `<span class="prompt">$ </span><span class="typed">%s</span>`, text)
	case continued:
		_, _ = fmt.Fprintf(w, `<span class="typed">%s</span>`, text)
	default:
		_, _ = fmt.Fprintf(w, `<span class="printed">%s</span>`, text)
	}
	return (isCommand || continued) && bytes.HasSuffix(bytes.TrimRight(line, "\n"), []byte(`\`))
}
