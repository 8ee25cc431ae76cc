package docs

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// repository is where files are shown that are none of the documentation's.
const repository = "https://github.com/posternhq/postern/blob/main/"

// pictures is the folder of the pictures that pages show.
const pictures = "pictures/"

// markdown makes pages of documents.
type markdown struct{ goldmark.Markdown }

// newRenderer returns what reads the Markdown that GitHub reads, as far as our
// documents use it. HTML in a document is left out.
func newRenderer() markdown {
	table := extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)) // no inline style
	return markdown{goldmark.New(
		goldmark.WithExtensions(table),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(blocks{}, 100))),
	)}
}

// page makes a page of a document.
func (m markdown) page(file string, source []byte) (*page, error) {
	ids := parser.NewContext(parser.WithIDs(anchors{}))
	document := m.Parser().Parse(text.NewReader(source), parser.WithContext(ids))
	p := &page{Address: addressOf(file)}
	err := ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.head(n, source)
		case *ast.Link:
			to, err := resolve(file, string(n.Destination))
			if err != nil {
				return ast.WalkStop, err
			}
			n.Destination = []byte(to)
			p.list(n, source)
		case *ast.Image:
			picture := path.Join(path.Dir(file), string(n.Destination))
			if path.Ext(picture) != ".svg" || path.Dir(picture)+"/" != pictures {
				return ast.WalkStop, fmt.Errorf("the picture %s is not an SVG of the folder %s", n.Destination, pictures)
			}
			n.Destination = []byte(root + picture)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	if p.Title == "" {
		return nil, errors.New("there is no heading of the first level")
	}
	var html bytes.Buffer
	if err := m.Renderer().Render(&html, source, document); err != nil {
		return nil, err
	}
	scrolling := strings.NewReplacer("<table>", `<div class="scroll" tabindex="0"><table>`, "</table>", "</table></div>")
	p.Body = template.HTML(scrolling.Replace(html.String())) // goldmark escaped what the document says
	return p, nil
}

// head takes a heading into account.
func (p *page) head(h *ast.Heading, source []byte) {
	title := plain(h, source)
	switch {
	case h.Level == 1 && p.Title == "":
		p.Title = title
	case h.Level == 2:
		p.Sections = append(p.Sections, section{anchorOf(h), title})
		p.groups = append(p.groups, group{Title: title})
	}
}

// list takes a link into account that an item of a list begins with.
func (p *page) list(l *ast.Link, source []byte) {
	block := l.Parent()
	begins := l.PreviousSibling() == nil && block.PreviousSibling() == nil && block.Parent() != nil && block.Parent().Kind() == ast.KindListItem
	if begins && len(p.groups) > 0 {
		last := &p.groups[len(p.groups)-1]
		last.Links = append(last.Links, link{string(l.Destination), plain(l, source)})
	}
}

// plain returns the text below a node, without how it is set.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, isText := child.(*ast.Text); isText {
			b.Write(t.Segment.Value(source))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
			continue
		}
		b.WriteString(plain(child, source))
	}
	return b.String()
}

func anchorOf(h *ast.Heading) string {
	id, _ := h.AttributeString("id")
	b, _ := id.([]byte)
	return string(b)
}

// resolve returns where a link of a document leads at /docs.
func resolve(file, to string) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", fmt.Errorf("a link: %w", err)
	}
	if u.IsAbs() || strings.HasPrefix(u.Path, "/") || u.Path == "" {
		return to, nil
	}
	target := path.Join("docs", path.Dir(file), u.Path)
	within, isPage := strings.CutPrefix(target, "docs/")
	switch {
	case strings.HasPrefix(target, "../"):
		return "", fmt.Errorf("the link %s leads out of the repository", to)
	case target == "api/openapi.json":
		u.Path = "/v1/openapi.json" // every server has its own
	case isPage && path.Ext(within) == ".md":
		u.Path = addressOf(within)
	default:
		return repository + target, nil
	}
	return u.String(), nil
}

// anchors names headings as GitHub does, so that a link to one works in both places.
type anchors map[string]int

// Generate implements parser.IDs.
func (a anchors) Generate(heading []byte, _ ast.NodeKind) []byte {
	name := strings.Map(anchorRune, string(bytes.TrimSpace(heading)))
	times := a[name]
	a[name]++
	if times > 0 {
		name = fmt.Sprintf("%s-%d", name, times)
	}
	return []byte(name)
}

// Put implements parser.IDs.
func (a anchors) Put(name []byte) { a[string(name)]++ }

// anchorRune returns what a character of a heading is in its name, or -1 for what
// is left out.
func anchorRune(r rune) rune {
	switch {
	case r == ' ':
		return '-'
	case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
		return unicode.ToLower(r)
	}
	return -1
}
