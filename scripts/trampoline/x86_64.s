# The exec trampoline of rootless/runtime/trampoline.py, which says what it does. Data: descriptor, length, errno, path.
.org 0x100
start: lea data(%rip),%rbx
 mov (%rbx),%edi
 mov $2,%esi
 mov $1,%edx
 mov $72,%eax
 syscall
 test %eax,%eax
 jnz out
 mov (%rsp),%rax
 lea 8(%rsp),%rsi
 lea 8(%rsi,%rax,8),%rdx
 lea 12(%rbx),%rdi
 mov $59,%eax
 syscall
 neg %eax
 mov %eax,8(%rbx)
 mov (%rbx),%edi
 lea 8(%rbx),%rsi
 mov 4(%rbx),%edx
 mov $1,%eax
 syscall
out: mov $126,%edi
 mov $231,%eax
 syscall
end: .org 0x10000
data:
