package maps

// Flush has the operations proposed that Handle has submitted to a partition and nobody has proposed yet. A caller that has many requests
// at hand calls it once for each partition, when all are handled: they share an entry of the log.
func (s *Service) Flush(partition int) { s.cfg.Host.Flush(partition) }
