// The exec trampoline of rootless/runtime/trampoline.py, which says what it does. Data: descriptor, length, errno, path.
.org 0x100
start: adr x19,data
 ldr w0,[x19]
 mov w1,#2
 mov w2,#1
 mov w8,#25
 svc 0
 cbnz w0,out
 ldr x9,[sp]
 add x1,sp,#8
 add x2,x1,x9,lsl #3
 add x2,x2,#8
 add x0,x19,#12
 mov w8,#221
 svc 0
 neg w0,w0
 str w0,[x19,#8]
 ldr w0,[x19]
 add x1,x19,#8
 ldr w2,[x19,#4]
 mov w8,#64
 svc 0
out: mov w0,#126
 mov w8,#94
 svc 0
end: .org 0x10000
data:
