# The program that waits of rootless/supervisor/standby/waiter.py, which says what it does. Data: interpreter, count, name of 16 bytes, a second, what is waited for.
.org 0x100
start: bl 1f
1: mflr 31
 addis 31,31,1
 addi 31,31,-0x104
 li 3,15
 addi 4,31,8
 li 0,171
 sc
 addi 3,31,40
 lwz 4,4(31)
 li 5,0
 li 6,0
 li 0,281
 sc
again: lwz 3,0(31)
 addi 4,31,23
 ld 6,0(1)
 addi 5,1,16
 sldi 6,6,3
 add 6,5,6
 li 7,0x1000
 li 0,362
 sc
 addi 3,31,24
 li 4,0
 li 0,162
 sc
 b again
end: .org 0x10000
data:
