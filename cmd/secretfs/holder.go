package main

func runHolder([]string) int { return exitFailed }
