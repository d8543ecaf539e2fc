#!/bin/sh
# nvcc.sh OBJECT COMMAND...: runs the compiler; what ptxas says of registers and spills goes to OBJECT.log, the rest
# to the terminal.
object=$1
shift
"$@" >"$object.log" 2>&1
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' "$object.log" >&2
exit $status
