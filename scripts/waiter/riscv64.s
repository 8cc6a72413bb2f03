# The program that waits of rootless/supervisor/standby/waiter.py, which says what it does. Data: interpreter, count, name of 16 bytes, a second, what is waited for.
.option norvc
.option norelax
.org 0x100
start: auipc s0,0x10
 addi s0,s0,-0x100
 li a0,15
 addi a1,s0,8
 li a7,167
 ecall
 addi a0,s0,40
 lw a1,4(s0)
 li a2,0
 li a3,0
 li a7,73
 ecall
again: lw a0,0(s0)
 addi a1,s0,23
 ld t0,0(sp)
 addi a2,sp,16
 slli t0,t0,3
 add a3,a2,t0
 lui a4,1
 li a7,281
 ecall
 addi a0,s0,24
 li a1,0
 li a7,101
 ecall
 j again
end: .org 0x10000
data:
