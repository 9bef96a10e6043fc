package conf

import (
	"slices"
	"strconv"
	"strings"
)

// maxListed is how many names an error lists; a policy may know thousands.
const maxListed = 24

// Suggest ends a sentence about an unknown name: with the known name that was
// probably meant, or with all of them.
func Suggest(name string, known []string) string {
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	switch {
	case len(known) == 0:
		return "; none are known here"
	case len(known) > maxListed:
		return ""
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known are " + strings.Join(sorted, ", ")
}

func didYouMean(name string, known []string) string {
	best, least := "", max(1, min(2, (len(name)+2)/3))+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), k, least); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// distance is the Levenshtein distance of a and b, or limit where it is not
// less than that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(limit, row[len(b)])
}

// maxQuoted keeps a line that quotes the file readable.
const maxQuoted = 60

func quoteShort(text string) string {
	if len(text) > maxQuoted {
		return strconv.Quote(strings.ToValidUTF8(text[:maxQuoted], "")) + "..."
	}
	return strconv.Quote(text)
}
