# The program that waits of rootless/supervisor/standby/waiter.py, which says what it does. Data: interpreter, count, name of 16 bytes, a second, what is waited for.
.org 0x100
start: lea data(%rip),%rbx
 mov $15,%edi
 lea 8(%rbx),%rsi
 mov $157,%eax
 syscall
 lea 40(%rbx),%rdi
 mov 4(%rbx),%esi
 xor %edx,%edx
 xor %r10d,%r10d
 mov $271,%eax
 syscall
again: mov (%rbx),%edi
 lea 23(%rbx),%rsi
 mov (%rsp),%rax
 lea 16(%rsp),%rdx
 lea (%rdx,%rax,8),%r10
 mov $0x1000,%r8d
 mov $322,%eax
 syscall
 lea 24(%rbx),%rdi
 xor %esi,%esi
 mov $35,%eax
 syscall
 jmp again
end: .org 0x10000
data:
