package main

func runHelper([]string) int { return exitFailed }
