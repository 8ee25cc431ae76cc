package clientgen

import "strings"

// camel returns the name in Go of an operation or a parameter.
func camel(id string) string {
	var name strings.Builder
	for word := range strings.FieldsFuncSeq(id, func(r rune) bool { return r == '-' || r == '_' }) {
		switch word {
		case "id":
			name.WriteString("ID")
		case "openapi":
			name.WriteString("OpenAPI")
		default:
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return name.String()
}

// comment returns the doc comment of a method, in the words of the document.
func comment(m method, o described) string {
	text := m.Name + " " + sentence(strings.ReplaceAll(o.Summary, "this document", "the OpenAPI document"))
	if o.Description != "" {
		text += " " + o.Description
	}
	if o.Permission != "" {
		text += " It needs the permission " + o.Permission + "."
	}
	return lines(strings.ReplaceAll(text, "`", "")) + "\n//\n//\t" + m.Verb + " " + m.Path
}

// sentence makes of a summary what stands after a method's name.
func sentence(summary string) string {
	first, rest, _ := strings.Cut(summary, " ")
	lower := strings.ToLower(first)
	switch {
	case strings.HasSuffix(summary, "?"):
		return "answers the question: " + summary
	case lower == "how", lower == "what", lower == "who":
		return "tells " + lower + " " + rest + "."
	case strings.HasSuffix(lower, "ch"):
		lower += "es"
	default:
		lower += "s"
	}
	return strings.TrimSpace(lower+" "+rest) + "."
}

// lines breaks a text into the lines of a comment.
func lines(text string) string {
	const width = 84
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column > 0 && column+1+len(word) > width {
			b.WriteString("\n")
			column = 0
		}
		if column == 0 {
			b.WriteString("//")
			column = len("//")
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	return b.String()
}
