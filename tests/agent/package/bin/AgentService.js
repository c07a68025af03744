// STUB: the behavior is in externals/node/bin/node, which is no node.
