# The exec trampoline of rootless/runtime/trampoline.py, which says what it does. Data: descriptor, length, errno, path.
.org 0x100
start: larl %r6,data
 llgf %r2,0(%r6)
 lghi %r3,2
 lghi %r4,1
 svc 55
 ltr %r2,%r2
 jne out
 lg %r7,0(%r15)
 la %r3,8(%r15)
 sllg %r7,%r7,3
 la %r4,8(%r7,%r3)
 la %r2,12(%r6)
 svc 11
 lcr %r2,%r2
 st %r2,8(%r6)
 llgf %r2,0(%r6)
 la %r3,8(%r6)
 llgf %r4,4(%r6)
 svc 4
out: lghi %r2,126
 svc 248
end: .org 0x10000
data:
