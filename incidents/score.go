package incidents

import (
	"strings"

	"github.com/minewarden/minewarden"
)

// What weak evidence adds: it is common on honest machines, so it moves the score of other evidence but makes none itself.
const (
	lowWeight  = 0.25
	infoWeight = 0.1
	maxWeak    = 0.5 // score of an incident with weak evidence only
)

// Score returns the worst severity and the joint confidence: the probability that not all families of rules are wrong at
// once. Rules of one family ("pow/…") look at the same thing, so of each only the surest counts, however often it repeats.
func Score(findings []minewarden.IncidentFinding) (minewarden.Severity, float64) {
	var worst minewarden.Severity
	var names [16]string
	families := names[:0]
	var best [16]float64
	for i := range findings {
		f := &findings[i]
		worst = max(worst, f.Severity)
		p := min(max(f.Confidence, 0), 1)
		switch f.Severity {
		case minewarden.Informational:
			p *= infoWeight
		case minewarden.Low:
			p *= lowWeight
		}
		family, _, _ := strings.Cut(f.Rule, "/")
		at := -1
		for j, name := range families {
			if name == family {
				at = j
			}
		}
		if at < 0 {
			if len(families) == len(best) { // more families than there are: count the rest as one
				at = len(best) - 1
			} else {
				at = len(families)
				families = append(families, family)
			}
		}
		best[at] = max(best[at], p)
	}
	wrong := 1.0
	for i := range families {
		wrong *= 1 - best[i]
	}
	score := 1 - wrong
	if !strong(worst) {
		score = min(score, maxWeak)
	}
	return worst, score
}
