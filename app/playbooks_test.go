package app_test

import (
	"testing"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/playbooks"
	"github.com/minewarden/minewarden/responders"
)

// TestPlaybooksAskForWhatResponders do holds the library to the operations that the responders' pages name.
func TestPlaybooksAskForWhatRespondersDo(t *testing.T) {
	all, err := playbooks.Own()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := app.CheckPlaybook(&p); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	ops := app.Operations()
	for _, r := range responders.All() {
		if _, ok := ops[r.Name]; !ok {
			t.Errorf("what responder %s does is not known to playbooks", r.Name)
		}
	}
}
