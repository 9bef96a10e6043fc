package main

func runWorker([]string) int { return exitFailed }
