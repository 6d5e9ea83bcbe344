package gitea

import (
	"encoding/json"
	"fmt"

	mw "github.com/minewarden/minewarden"
)

func repairINI(file, section, key, value, summary string) *mw.Repair {
	r := &mw.Repair{Summary: summary, Format: mw.FormatINI, Config: fmt.Sprintf("[%s]\n%s = %s\n", section, key, value)}
	if file != "" {
		v, err := json.Marshal(value)
		if err != nil {
			panic(err) // of a string
		}
		r.Edits = []mw.Edit{{Path: file, Format: mw.FormatINI, Op: mw.EditSet, Key: []string{section, key}, Value: v}}
	}
	return r
}

func repairRegistration(file string) *mw.Repair {
	return repairINI(file, "service", "DISABLE_REGISTRATION", "true", "administrators then make the accounts")
}
