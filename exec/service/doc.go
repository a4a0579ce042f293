// Package service runs the tasks that were submitted to a member, within bounds, and keeps their results for the callers. It
// knows neither connections nor how maps are stored: the member decodes calls, asks the [Service], and encodes its answers.
//
// It is not API: programs use package exec. Go's internal folders cannot hide it, since package member uses it too.
package service
