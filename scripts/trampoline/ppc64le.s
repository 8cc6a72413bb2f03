# The exec trampoline of rootless/runtime/trampoline.py, which says what it does. Data: descriptor, length, errno, path.
.org 0x100
start: bl 1f
1: mflr 31
 addis 31,31,1
 addi 31,31,-0x104
 lwz 3,0(31)
 li 4,2
 li 5,1
 li 0,55
 sc
 bso out
 ld 6,0(1)
 addi 4,1,8
 sldi 6,6,3
 add 5,4,6
 addi 5,5,8
 addi 3,31,12
 li 0,11
 sc
 stw 3,8(31)
 lwz 3,0(31)
 addi 4,31,8
 lwz 5,4(31)
 li 0,4
 sc
out: li 3,126
 li 0,234
 sc
end: .org 0x10000
data:
