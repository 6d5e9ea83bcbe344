package main

import (
	"slices"
	"testing"
	"time"
)

// The names are those that F-Secure published in January 2009.
func TestWormNames(t *testing.T) {
	names := wormNames(time.Date(2009, 1, 8, 15, 0, 0, 0, time.UTC))
	for _, want := range []string{"mphtfrxs.net", "imctaef.cc", "hcweu.org"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the names", want)
		}
	}
	if slices.Contains(wormNames(time.Date(2009, 1, 9, 0, 0, 0, 0, time.UTC)), "hcweu.org") {
		t.Error("the names of the next day are the same")
	}
}
