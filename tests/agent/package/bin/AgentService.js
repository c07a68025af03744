// STUB: the behaviour is in externals/node/bin/node, which is no node.
