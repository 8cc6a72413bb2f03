# The holder of rootless/runtime/holder.py, which says what it does.
.org 0x100
start: li 3,0
 li 4,0
 li 5,0
 li 6,0
 li 0,281
 sc
 b start
