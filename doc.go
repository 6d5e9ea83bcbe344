// Package minewarden is the vocabulary of the program: what a sensor sees (Event), what a detector claims (Finding), what
// people and responders act on (Incident), and the contracts of the four catalogues of modules (Sensor, Detector, Auditor,
// Responder).
//
// The road between them:
//
//	sensors ──Event──▶ pipeline ──Event──▶ detectors ──Finding──▶ incidents ──Incident──▶ responders
//	                                       audits ─────Finding──▶     │
//	                     indicators feed detectors and responders     ▼
//	                                                                store
//
// This package imports the standard library only, and nothing in it does I/O.
package minewarden
