# The holder of rootless/runtime/holder.py, which says what it does.
.org 0x100
start: lghi %r2,0
 lghi %r3,0
 lghi %r4,0
 lghi %r5,0
 lghi %r1,302
 svc 0
 j start
