package main

import "github.com/spf13/cobra"

func newLabVerifyCmd() *cobra.Command { return &cobra.Command{Use: "verify", Hidden: true} }
