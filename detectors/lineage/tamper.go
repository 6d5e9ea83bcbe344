package lineage

import (
	"math/bits"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

const (
	hides    = command.Audit | command.History | command.Logs
	persists = command.Crontab | command.Preload | command.Keys | command.Immutable
	tampers  = command.Defence | hides | persists | command.Tuning | command.Rival
	// minRivals is how many different miners a script must look for: people who clean up name the one they found.
	minRivals = 3
)

func (j *judgement) tampers() {
	f := j.facts
	if f.Acts&tampers == 0 {
		return
	}
	c := j.the()
	fresh := f.Acts & tampers &^ c.acts
	c.acts |= f.Acts & tampers
	c.rivals |= f.Rivals
	c.killed = c.killed || f.Acts.Has(command.Kill)
	note := j.note(f.Acts & tampers)
	c.step(note)
	e := minewarden.Evidence{Key: "command", Value: note}
	if c.killed && bits.OnesCount64(c.rivals) >= minRivals {
		j.tell(ruleRivals, 0.8, e, minewarden.Evidence{Key: "names", Value: strings.Join(command.RivalNames(c.rivals), " ")})
	}
	switch {
	case fresh&(command.Defence|hides|persists) == 0:
	case j.origin.Kind == program.Served:
		j.tell(ruleServiceTamper, 0.6, e, minewarden.Evidence{Key: "service", Value: j.origin.Root.Name})
	case fresh&(command.Defence|hides|command.Preload|command.Immutable) != 0:
		j.tell(ruleTamper, 0.4, e)
	}
	j.loader()
}

// loader tells of several sorts of tampering in one lineage, together with something that only attackers need.
func (j *judgement) loader() {
	c := j.chain
	if c == nil {
		return
	}
	sorts := 0
	for _, s := range [...]command.Act{command.Defence, hides, persists, command.Tuning} {
		if c.acts&s != 0 {
			sorts++
		}
	}
	rivals := c.killed && bits.OnesCount64(c.rivals) >= minRivals
	if rivals {
		sorts++
	}
	// Two sorts below a service, or anywhere together with what only attackers need.
	if sorts < 2 || !(rivals || c.mined || c.ran && c.fetchRaw || j.origin.Kind == program.Served && c.acts&(command.Defence|hides|persists) != 0) {
		return
	}
	evidence := make([]minewarden.Evidence, 0, c.nsteps+2)
	for _, s := range c.steps[:c.nsteps] {
		evidence = append(evidence, minewarden.Evidence{Key: "step", Value: s})
	}
	j.tell(ruleLoader, 0.9, evidence...)
}
