package sops

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	oracle "github.com/getsops/sops/v3"
)

// A generator writes plaintext files of all kinds and tastes.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

// plain writes a file of the given format.
func (g generator) plain(format Format) string {
	switch format {
	case YAML:
		return g.yaml()
	case JSON:
		return g.jsonObject(0)
	case Dotenv:
		return g.dotenv()
	case INI:
		return g.ini()
	}
	return g.binary()
}

// options draws what the sops section may say.
func (g generator) options() []option {
	var opts []option
	if g.chance(30) {
		opts = append(opts, func(m *oracle.Metadata) { m.MACOnlyEncrypted = true })
	}
	regex := pick(g, "^(data|s.*)$", "b", "[", "", "x$", "^k[0-3]")
	suffix := pick(g, "_unencrypted", "_enc", "a", "1")
	comment := pick(g, "clear", "enc", "^ a", "b")
	return append(opts, pick(g,
		func(*oracle.Metadata) {}, func(*oracle.Metadata) {}, func(*oracle.Metadata) {},
		func(m *oracle.Metadata) { m.UnencryptedSuffix = suffix },
		func(m *oracle.Metadata) { m.EncryptedSuffix = suffix },
		func(m *oracle.Metadata) { m.UnencryptedRegex = regex },
		func(m *oracle.Metadata) { m.EncryptedRegex = regex },
		func(m *oracle.Metadata) { m.UnencryptedCommentRegex = comment },
		func(m *oracle.Metadata) { m.EncryptedCommentRegex = comment },
	))
}

func (g generator) word() string {
	return pick(g, "alpha", "b", "s3cret", "two words", "Grüße", "日本語", "🔑", "a:b", "#no comment", "- x", "'", `"`, `\`, "\t", "  lead",
		"trail  ", "yes", "no", "on", "null", "~", "1", "0777", "1.5", "2001-01-01", "<<", "=", "!x", "&a", "*a", "{", "[", "%", "@", "`", "a, b",
		"</script>&amp;", "\u2028", "\u00a0", "\x7f", "ENC[", "ENC[AES256_GCM,data:x]", "x=y=z", strings.Repeat("long ", 60), "1:30", "0x1f", "a\\nb")
}

func (g generator) name() string {
	return pick(g, "a", "b", "c", "data", "k0", "k1", "k2", "key_unencrypted", "x_enc", "s", "sx", "with space", "sl/ash", "a/b", "ümlaut", "鍵", "dot.dot",
		"UPPER", "q'uote", `d"quote`, "true", "null", "12", "1.5", "", "sops_x", "co:lon", "#hash", "- dash", "~")
}

// Scalars of YAML as they are written, one line each.
func (g generator) yamlScalar() string {
	switch g.IntN(12) {
	case 0:
		return pick(g, "0", "1", "-7", "42", "0x1F", "0o17", "017", "1_000", "9223372036854775807", "-9223372036854775808", "0b101", "+5")
	case 1:
		return pick(g, "1.5", "-0.1", ".5", "1e10", "1E-7", "1e100", "3.0", ".inf", "-.inf", ".nan", "123456789.123456789", "5e-324", "1_0.5", "18446744073709551616")
	case 2:
		return pick(g, "true", "false", "yes", "no", "True", "FALSE", "on", "y")
	case 3:
		return pick(g, "2001-12-14", "2001-12-14T21:59:43.10-05:00", "2001-12-14 21:59:43.1 +1", "2001-12-15 2:59:43.10", "!!timestamp 2001-01-01")
	case 4:
		return pick(g, "", "null", "~", "Null", `""`, "''")
	case 5:
		return pick(g, "!!str 5", "!!float 3", "!!binary aGVsbG8=", "!custom x", "!!int 7", "!!bool true", "! 12", "!!null null")
	case 6:
		return "'" + strings.ReplaceAll(g.word(), "'", "''") + "'"
	case 7, 8:
		text, _ := json.Marshal(g.word() + pick(g, "", "", "\n", "\nmore\n", "\r\n", "\x00", "\u0085"))
		return string(text)
	}
	return pick(g, "plain", "plain words here", "x#y", "a-b", "Grüße", "1.2.3", "12:30:45", "0xzz", "1__", "<<", "=", "a: ", "-", "?", "ENC[x]", "a,b")
}

func (g generator) yamlName() string {
	name := g.name()
	text, _ := json.Marshal(name)
	if strings.ContainsAny(name, ` "'#:~`) || name == "" || g.chance(20) {
		return string(text)
	}
	switch name {
	case "true", "null", "12", "1.5", "- dash":
		return string(text)
	}
	return name
}

func (g generator) yaml() string {
	var b strings.Builder
	docs := 1
	if g.chance(15) {
		docs += 1 + g.IntN(2)
	}
	for i := range docs {
		if i > 0 || g.chance(10) {
			b.WriteString(pick(g, "---\n", "---\n", "--- # doc\n"))
		}
		g.yamlMap(&b, "", 0, 1+g.IntN(5))
	}
	text := b.String()
	if g.chance(8) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func (g generator) yamlComment(b *strings.Builder, indent string, percent int) {
	for g.chance(percent) {
		b.WriteString(indent + "#" + pick(g, " a comment", "b", " clear", " enc please", "", " ENC[AES256_GCM,x", "#", "ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]", " Ünï") + "\n")
	}
	if g.chance(percent / 3) {
		b.WriteString("\n")
	}
}

func (g generator) yamlMap(b *strings.Builder, indent string, depth, n int) {
	seen := map[string]bool{}
	for range n {
		name := g.yamlName()
		if seen[strings.Trim(name, `"`)] && !g.chance(2) {
			continue
		}
		seen[strings.Trim(name, `"`)] = true
		g.yamlComment(b, indent, 18)
		b.WriteString(indent + name + ":")
		g.yamlValue(b, indent, depth)
	}
	if len(seen) == 0 {
		b.WriteString(indent + "only: one\n")
	}
	g.yamlComment(b, indent, 10)
}

func (g generator) inline() string {
	if g.chance(12) {
		return pick(g, " # inline", " #clear", "   # enc", " #")
	}
	return ""
}

func (g generator) yamlValue(b *strings.Builder, indent string, depth int) {
	deeper := indent + pick(g, "  ", "  ", "    ", " ")
	kind := g.IntN(20)
	if depth > 3 && kind < 8 {
		kind = 10
	}
	switch {
	case kind < 4:
		b.WriteString(g.inline() + "\n")
		g.yamlMap(b, deeper, depth+1, 1+g.IntN(4))
	case kind < 7:
		b.WriteString(g.inline() + "\n")
		g.yamlList(b, deeper, depth+1)
	case kind == 7:
		b.WriteString(" " + pick(g, "{}", "[]", "{a: 1, b: [x, 'y']}", "[1, two, {c: d}]", "[a, # why\n"+deeper+"b]", "&anchor {q: r}", "&a v\n"+indent+"al: *a") + g.inline() + "\n")
	case kind < 10:
		b.WriteString(" " + pick(g, "|", "|-", "|+", ">", ">-", ">+", "|2") + g.inline() + "\n")
		for range 1 + g.IntN(3) {
			b.WriteString(indent + "  " + pick(g, "line", "  more indented", "", "#hash", "key: value", "Ünï") + "\n")
		}
	default:
		b.WriteString(" " + g.yamlScalar() + g.inline() + "\n")
	}
}

func (g generator) yamlList(b *strings.Builder, indent string, depth int) {
	for range 1 + g.IntN(4) {
		g.yamlComment(b, indent, 18)
		b.WriteString(indent + "-")
		if g.chance(20) && depth < 4 {
			b.WriteString(" " + pick(g, "a", "k1", "x_enc") + ": " + pick(g, "v", "1", "") + "\n")
			if g.chance(50) {
				g.yamlMapAfter(b, indent+"  ", depth+1)
			}
			continue
		}
		g.yamlValue(b, indent, depth)
	}
	g.yamlComment(b, indent, 10)
}

func (g generator) yamlMapAfter(b *strings.Builder, indent string, depth int) {
	for i := range g.IntN(3) {
		g.yamlComment(b, indent, 15)
		fmt.Fprintf(b, "%sm%d:", indent, i)
		g.yamlValue(b, indent, depth)
	}
}

func (g generator) jsonString() string {
	text, _ := json.Marshal(g.word() + pick(g, "", "", "", "\n", "\x00\x1f", "\\", "/"))
	s := string(text)
	if g.chance(10) {
		s = pick(g, `"\/"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\u0041\u00e9"`, "\"\xff\xfe\"", `""`, `"\b\f"`)
	}
	return s
}

func (g generator) space() string { return pick(g, "", "", "", " ", "\n", "\t", " \r\n ") }

func (g generator) jsonObject(depth int) string {
	var b strings.Builder
	b.WriteString("{" + g.space())
	for i := range g.IntN(6) {
		if i > 0 {
			b.WriteString("," + g.space())
		}
		name, _ := json.Marshal(g.name())
		b.WriteString(string(name) + g.space() + ":" + g.space() + g.jsonValue(depth) + g.space())
	}
	b.WriteString("}")
	return b.String()
}

func (g generator) jsonValue(depth int) string {
	switch n := g.IntN(14); {
	case n < 3 && depth < 4:
		return g.jsonObject(depth + 1)
	case n < 5 && depth < 4:
		var items []string
		for range g.IntN(4) {
			items = append(items, g.space()+g.jsonValue(depth+1))
		}
		return "[" + strings.Join(items, ",") + g.space() + "]"
	case n < 7:
		return pick(g, "0", "-0", "1", "-12", "9007199254740993", "9223372036854775807", "9223372036854775808", "1.5", "1e3", "1E-7", "1e100", "-0.0", "123456789012345678901234567890", "0.1")
	case n == 7:
		return pick(g, "true", "false", "null")
	}
	return g.jsonString()
}

func (g generator) dotenv() string {
	var b strings.Builder
	end := pick(g, "\n", "\n", "\n", "\n", "\n", "\r\n")
	for range g.IntN(8) {
		switch g.IntN(8) {
		case 0:
			b.WriteString("#" + pick(g, " comment", "", " clear", "enc", "a=b") + end)
		case 1:
			b.WriteString("\n")
		default:
			name := pick(g, "A", "B", "FOO", "foo_unencrypted", "X1", "", "with space", "Ü", "export X", "data", "k1", "a/b")
			value := strings.NewReplacer("\n", `\n`, "\u2028", "").Replace(g.word())
			b.WriteString(name + "=" + pick(g, value, value, value, "", `"quoted"`, "'x'", `a\nb\n`, `\\n`) + end)
		}
	}
	return b.String()
}

func (g generator) ini() string {
	var b strings.Builder
	for i := range 1 + g.IntN(4) {
		if i > 0 || g.chance(70) {
			g.iniComment(&b)
			b.WriteString(pick(g, "[one]", "[two.three]", "[DEFAULT]", "[default]", "[a/b]", "[k1]", "[Ü]", "[data] ; tail", "[with space]", "[x_unencrypted]") + "\n")
		}
		for range g.IntN(5) {
			g.iniComment(&b)
			name := pick(g, "a", "b", "k1", "foo_unencrypted", "x_enc", "`a=b`", `"quo"`, "with space", "-", "Ü", "data", "s/x")
			value := pick(g, "plain", "", "two words", `"quoted"`, "'single'", "`back;tick`", `"""three"""`, "a # comment", "x ; y", "cont\\\n  inued", "`multi\nline`",
				"%(a)s", "日本", "=", "1.5", "5", "true", `"  spaces  "`, "a\\", "\"\"\"x\ny\"\"\"")
			b.WriteString(name + pick(g, " = ", "=", ": ", " =") + value + "\n")
		}
		if g.chance(40) {
			b.WriteString("\n")
		}
	}
	text := b.String()
	if g.chance(8) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func (g generator) iniComment(b *strings.Builder) {
	for g.chance(15) {
		b.WriteString(pick(g, "; semicolon", "# hash", ";; twice", "#", "; clear", "#enc") + "\n")
	}
}

func (g generator) binary() string {
	raw := make([]byte, g.IntN(300))
	for i := range raw {
		raw[i] = byte(g.IntN(128))
	}
	return string(raw)
}
