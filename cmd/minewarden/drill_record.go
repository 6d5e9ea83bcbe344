package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/drills/stratum"
)

// drillRecord is for those who train and test detectors of traffic.
func drillRecord() *cobra.Command {
	c := stratum.Config{Sessions: 1, Lasts: time.Minute, Share: 10 * time.Second, Job: 30 * time.Second, Seed: 1}
	cmd := &cobra.Command{
		Use: "record FILE", Short: "Record mining sessions that hash nothing as pcap, from a network of their own", Args: cobra.ExactArgs(1), Hidden: true,
		Long: fmt.Sprintf("Dialects: %s. Carriers: %s.\nThe times between shares and between jobs are those of a Poisson process; --seed makes another one.",
			strings.Join(stratum.Dialects(), ", "), strings.Join(stratum.Carriers(), ", ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			c.Capture = path
			if err := c.Validate(); err != nil {
				return err
			}
			if err := stratum.Run(cmd.Context(), c); err != nil {
				return err
			}
			if cmd.Context().Err() != nil {
				return errors.New("interrupted: the recording is cut off")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&c.Dialects, "dialect", nil, "dialects (default: all)")
	f.StringSliceVar(&c.Carriers, "carrier", nil, "carriers (default: all)")
	f.IntVar(&c.Sessions, "sessions", c.Sessions, "sessions of each dialect over each carrier")
	f.DurationVar(&c.Lasts, "for", c.Lasts, "how long")
	f.DurationVar(&c.Share, "share", c.Share, "mean time between two shares of a session")
	f.DurationVar(&c.Job, "job", c.Job, "mean time between two jobs")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "of the random numbers")
	return cmd
}
