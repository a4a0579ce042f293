// Package tasks holds the registered functions of package exec in the form in which a member runs them: by name, with encoded
// arguments and results. Package exec fills it, and package exec/service runs what it holds. It knows neither pools nor members.
package tasks
