// Command report turns the JSON of `go test -json` on its input into what a
// person wants to read: a line a package, the output of what failed, why tests
// were skipped, and the totals.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// event is a line of test2json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// A report gathers the events of one run.
type report struct {
	passed, failed, skipped int
	output                  map[string]*strings.Builder // package/test -> what it printed
	broken                  map[string]bool             // packages with a failure that is counted
}

func main() {
	name := "tests"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	r := report{output: map[string]*strings.Builder{}, broken: map[string]bool{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // not from a test: the go command itself
			continue
		}
		r.add(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "reading the results:", err)
		r.failed++
	}
	fmt.Printf("%s: %d passed, %d failed, %d skipped\n", name, r.passed, r.failed, r.skipped)
	if r.failed > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func (r *report) add(e event) {
	key := e.Package + "/" + e.Test
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e, key)
		} else {
			r.endTest(e, key)
		}
		delete(r.output, key)
	}
}

func (r *report) endTest(e event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.broken[e.Package] = true
		fmt.Print(r.text(key))
	case "skip":
		r.skipped++
		fmt.Printf("skip %s %s: %s\n", e.Package, e.Test, r.reason(key))
	}
}

// endPackage prints what belongs to no test: the closing line, and a panic.
func (r *report) endPackage(e event, key string) {
	if e.Action == "fail" {
		if !r.broken[e.Package] { // did not build, or ended before its tests
			r.failed++
		}
		for other := range r.output { // tests that never ended
			if other != key && strings.HasPrefix(other, e.Package+"/Test") {
				fmt.Print(r.text(other))
			}
		}
		fmt.Print(r.text(key))
		return
	}
	for line := range strings.Lines(r.text(key)) {
		if strings.HasPrefix(line, "ok ") {
			fmt.Print(line)
		}
	}
}

func (r *report) text(key string) string {
	if b := r.output[key]; b != nil {
		return b.String()
	}
	return ""
}

// reason is what a test said before it skipped itself.
func (r *report) reason(key string) string {
	var said []string
	for line := range strings.Lines(r.text(key)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}
