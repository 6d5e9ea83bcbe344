// Package posture is what serves the audits. An audit answers about one target; the folders below find the targets and use
// the answers: discover looks for services in named ranges, gate walks repositories before they are deployed, repair edits
// configuration without disturbing the rest of the file, score weighs the verdicts and keeps their history.
package posture
