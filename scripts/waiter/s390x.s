# The program that waits of rootless/supervisor/standby/waiter.py, which says what it does. Data: interpreter, count, name of 16 bytes, a second, what is waited for.
.org 0x100
start: larl %r6,data
 lghi %r2,15
 la %r3,8(%r6)
 lghi %r1,172
 svc 0
 la %r2,40(%r6)
 llgf %r3,4(%r6)
 lghi %r4,0
 lghi %r5,0
 lghi %r1,302
 svc 0
again: llgf %r2,0(%r6)
 la %r3,23(%r6)
 lg %r5,0(%r15)
 la %r4,16(%r15)
 sllg %r5,%r5,3
 la %r5,0(%r5,%r4)
 lgr %r7,%r6
 lghi %r6,0x1000
 lghi %r1,354
 svc 0
 lgr %r6,%r7
 la %r2,24(%r6)
 lghi %r3,0
 lghi %r1,162
 svc 0
 j again
end: .org 0x10000
data:
