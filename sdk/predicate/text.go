package predicate

// String returns the predicate's text, which Parse reads as an equal one.
func (n *Node) String() string { return string(n.appendText(make([]byte, 0, n.size))) }

func (n *Node) appendText(dst []byte) []byte {
	switch n.Op {
	case OpAnd, OpOr:
		for i, x := range n.Nodes {
			if i > 0 {
				dst = append(append(append(dst, ' '), n.Op.String()...), ' ')
			}
			dst = n.appendNode(dst, x)
		}
		return dst
	case OpNot:
		if x := n.Nodes[0]; x.infix() {
			return x.appendTerm(dst, true)
		}
		return n.appendNode(append(dst, "NOT "...), n.Nodes[0])
	}
	return n.appendTerm(dst, false)
}

// appendNode appends one of n's nodes, in parentheses where it needs them.
func (n *Node) appendNode(dst []byte, x *Node) []byte {
	if n.parenthesises(x) {
		return append(x.appendText(append(dst, '(')), ')')
	}
	return x.appendText(dst)
}

// parenthesises reports whether x stands in parentheses as one of n's nodes: where it binds less closely than n.
func (n *Node) parenthesises(x *Node) bool { return x.Op == OpOr || x.Op == OpAnd && n.Op == OpNot }

// infix reports whether NOT stands within the term, as in "a NOT IN (1)".
func (n *Node) infix() bool { return n.Op >= OpIn }

// appendTerm appends a term, with negated as it stands below a Not.
func (n *Node) appendTerm(dst []byte, negated bool) []byte {
	dst = append(n.Attr.appendText(dst), ' ')
	not := ""
	if negated {
		not = "NOT "
	}

	// NOT stands in the midst of IS NOT NULL, and before all other operators.
	if n.Op == OpIsNull {
		return append(append(append(dst, "IS "...), not...), "NULL"...)
	}
	dst = append(append(append(dst, not...), n.Op.String()...), ' ')

	switch n.Op {
	case OpIn:
		dst = append(dst, '(')
		for i, v := range n.Values {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendLiteral(dst, v)
		}
		return append(dst, ')')
	case OpBetween:
		dst = append(appendLiteral(dst, n.Values[0]), " AND "...)
		return appendLiteral(dst, n.Values[1])
	}
	return appendLiteral(dst, n.Values[0])
}
