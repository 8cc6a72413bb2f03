// The program that waits of rootless/supervisor/standby/waiter.py, which says what it does. Data: interpreter, count, name of 16 bytes, a second, what is waited for.
.org 0x100
start: adr x19,data
 mov x0,#15
 add x1,x19,#8
 mov x8,#167
 svc 0
 add x0,x19,#40
 ldr w1,[x19,#4]
 mov x2,#0
 mov x3,#0
 mov x8,#73
 svc 0
again: ldr w0,[x19]
 add x1,x19,#23
 ldr x9,[sp]
 add x2,sp,#16
 add x3,x2,x9,lsl #3
 mov x4,#0x1000
 mov x8,#281
 svc 0
 add x0,x19,#24
 mov x1,#0
 mov x8,#101
 svc 0
 b again
end: .org 0x10000
data:
