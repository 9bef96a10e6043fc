package main

import "github.com/secretfs/secretfs/policy"

// drivers are the types of backend that this program has.
var drivers = policy.Drivers{}
