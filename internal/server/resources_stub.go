package server

func (s *Server) registerAudit() {}
