; Every combination of rights in directory and table entries, with CR0.WP, at CPL 0 and 3, for reads, writes, read-modify-writes and fetches;
; in two orders without dropping translations in between, so that none may serve another privilege. Pages of 4 KiB and 4 MiB,
; with PAE of 4 KiB and 2 MiB. Accessed and dirty bits.
; Expected: PASS. A difference is told as entries, access, fault got and wanted (vector and error code, 0: none).
; Follows: Intel SDM volume 3, 4.6 (access rights), 4.7 (error codes), 4.8 (accessed and dirty).
%include "common.inc"
%include "pages.inc"

%define FLATCODE 0x68
%define PDPT 0x103000
%define PAEDIR0 0x104000
%define PAEDIR1 0x105000
%define PAETABLE 0x106000
%define TEST4M (TEST + 0x400000)

; accesses
%define READ 0
%define WRITE 1
%define MODIFY 2
%define FETCH 3
%define KINDS 4

test:
  mov dword [gdt + FLATCODE], 0x0000FFFF
  mov dword [gdt + FLATCODE + 4], 0x00CF9A00
  mov dword [hook], note
  call enablePaging
  mov byte [es:PAGEA + 0x20], 0xCB    ; RETF
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je .noCPUID
  mov byte [hasWP], 1
  mov eax, 1
  cpuid
  mov [features], edx
.noCPUID:

  ; ---- pages of 4 KiB: PDE and PTE of each kind
  mov dword [linear], TEST
  mov dword [pdeAt], DIRECTORY + (TEST >> 20)
  mov dword [pteAt], TABLE1
  mov dword [wp], 0
.nextWP:
  mov dword [pde], 0
.nextPDE:
  mov dword [pte], 0
.nextPTE:
  mov dword [reverse], 0
.nextOrder:
  mov eax, TABLE1
  or eax, [pde]
  mov [es:DIRECTORY + (TEST >> 20)], eax
  mov eax, PAGEA
  or eax, [pte]
  mov [es:TABLE1], eax
  mov eax, [pde]
  and eax, [pte]
  mov [rights], eax
  call both
  inc dword [reverse]
  cmp dword [reverse], 2
  jne .nextOrder
  inc dword [pte]
  cmp dword [pte], 8
  jne near .nextPTE
  inc dword [pde]
  cmp dword [pde], 8
  jne near .nextPDE
  inc dword [wp]
  cmp byte [hasWP], 0
  je .noWP
  cmp dword [wp], 2
  jne near .nextWP
.noWP:
  mov dword [es:DIRECTORY + (TEST >> 20)], TABLE1 + 7

  ; ---- pages of 4 MiB
  test dword [features], 1 << 3
  jz near .noPSE
  mov eax, cr4
  or al, 0x10
  mov cr4, eax
  mov dword [linear], TEST4M + PAGEA
  mov dword [pdeAt], DIRECTORY + (TEST4M >> 20)
  mov dword [pteAt], DIRECTORY + (TEST4M >> 20)
  mov dword [wp], 0
.nextWP4:
  mov dword [pde], 0
.nextPDE4:
  mov dword [reverse], 0
.nextOrder4:
  mov eax, 0x80
  or eax, [pde]
  mov [es:DIRECTORY + (TEST4M >> 20)], eax
  mov eax, [pde]
  mov [pte], eax
  mov [rights], eax
  call both
  inc dword [reverse]
  cmp dword [reverse], 2
  jne .nextOrder4
  inc dword [pde]
  cmp dword [pde], 8
  jne near .nextPDE4
  inc dword [wp]
  cmp dword [wp], 2
  jne near .nextWP4
.noPSE:

  ; ---- PAE: pages of 4 KiB and 2 MiB
  test dword [features], 1 << 6
  jz near .noPAE
  mov edi, PDPT
  xor eax, eax
  mov ecx, 0x4000 / 4
  rep stosd
  mov dword [es:PDPT], PAEDIR0 + 1
  mov dword [es:PDPT + 8], PAEDIR1 + 1
  mov dword [es:PAEDIR0], 0x87        ; the first 4 MiB one to one
  mov dword [es:PAEDIR0 + 8], 0x200087
  mov eax, cr0
  and eax, 0x7FFEFFFF
  mov cr0, eax
  mov eax, PDPT
  mov cr3, eax
  mov eax, cr4
  or al, 0x20
  mov cr4, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp .pae
.pae:
  mov dword [wp], 0
.nextWPP:
  mov dword [linear], TEST
  mov dword [pdeAt], PAEDIR1
  mov dword [pteAt], PAETABLE
  mov dword [pde], 0
.nextPDEP:
  mov dword [pte], 0
.nextPTEP:
  mov dword [reverse], 0
.nextOrderP:
  mov eax, PAETABLE
  or eax, [pde]
  mov [es:PAEDIR1], eax
  mov eax, PAGEA
  or eax, [pte]
  mov [es:PAETABLE], eax
  mov eax, [pde]
  and eax, [pte]
  mov [rights], eax
  call both
  inc dword [reverse]
  cmp dword [reverse], 2
  jne .nextOrderP
  inc dword [pte]
  cmp dword [pte], 8
  jne near .nextPTEP
  inc dword [pde]
  cmp dword [pde], 8
  jne near .nextPDEP
  mov dword [linear], TEST + 0x200000 + (PAGEA & 0x1FFFFF)
  mov dword [pdeAt], PAEDIR1 + 8
  mov dword [pteAt], PAEDIR1 + 8
  mov dword [pde], 0
.nextPDE2:
  mov dword [reverse], 0
.nextOrder2:
  mov eax, 0x80 + (PAGEA & ~0x1FFFFF)
  or eax, [pde]
  mov [es:PAEDIR1 + 8], eax
  mov eax, [pde]
  mov [pte], eax
  mov [rights], eax
  call both
  inc dword [reverse]
  cmp dword [reverse], 2
  jne .nextOrder2
  inc dword [pde]
  cmp dword [pde], 8
  jne near .nextPDE2
  inc dword [wp]
  cmp dword [wp], 2
  jne near .nextWPP
.noPAE:
  cmp dword [differences], 0
  je .good
  WRONG
.good:
  mov esp, STACK0 - 4
  ret

; All accesses at both privileges under the present entries.
both:
  mov eax, cr0
  and eax, ~0x10000
  cmp dword [wp], 0
  je .wp
  or eax, 0x10000
.wp:
  mov cr0, eax
  mov eax, cr3
  mov cr3, eax
  mov dword [step], 0
.next:
  mov eax, [step]
  cmp dword [reverse], 0
  je .forward
  mov eax, 2 * KINDS - 1
  sub eax, [step]
.forward:
  ; even: CPL 0, odd: CPL 3
  mov ecx, eax
  and ecx, 1
  mov [user], ecx
  shr eax, 1
  mov [kind], eax
  call expect
  mov dword [vector], 0
  mov dword [errorCode], 0
  mov dword [resume], .after
  mov ebx, [linear]
  mov edx, FLAT
  mov [savedESP], esp
  cmp dword [user], 0
  je .go
  pop dword [returnTo]
  TO_RING 3
  mov ebx, [linear]
  mov edx, FLAT3
.go:
  mov es, dx
  mov eax, [kind]
  cmp eax, READ
  je .read
  cmp eax, WRITE
  je .write
  cmp eax, MODIFY
  je .modify
  mov [pointer], ebx
  add dword [pointer], 0x20
  mov word [pointer + 4], FLATCODE
  cmp dword [user], 0
  je .fetch
  mov word [pointer + 4], CODEFLAT3
.fetch:
  call far [pointer]
  jmp .after
.read:
  mov al, [es:ebx + 4]
  jmp .after
.write:
  mov [es:ebx + 8], eax
  jmp .after
.modify:
  add dword [es:ebx + 12], 5
.after:
  mov dword [resume], 0
  cmp dword [user], 0
  jne .ring3
  mov esp, [savedESP]
  jmp .ring0
.ring3:
  TO_RING0
  push dword [returnTo]
.ring0:
  mov ax, FLAT
  mov es, ax
  call compare
  inc dword [step]
  cmp dword [step], 2 * KINDS
  jne near .next
  ret

; What the access does.
expect:
  mov dword [wantVector], 0
  mov dword [wantCode], 0
  mov ecx, [user]
  shl ecx, 2
  mov eax, [kind]
  cmp eax, WRITE
  je .writes
  cmp eax, MODIFY
  jne .present
.writes:
  or ecx, 2
.present:
  mov eax, [rights]
  test al, 1
  jz .fault
  or ecx, 1
  test cl, 4
  jz .supervisor
  test al, 4
  jz .fault
  test cl, 2
  jz .good
  test al, 2
  jz .fault
  ret
.supervisor:
  test cl, 2
  jz .good
  test al, 2
  jnz .good
  cmp dword [wp], 0
  jne .fault
.good:
  ret
.fault:
  mov dword [wantVector], 14
  mov [wantCode], ecx
  ret

compare:
  mov eax, [vector]
  cmp eax, [wantVector]
  jne .bad
  mov eax, [errorCode]
  cmp eax, [wantCode]
  je .same
  ; a translator may read first to modify
  cmp byte [onQEMU], 0
  je .bad
  cmp dword [kind], MODIFY
  jne .bad
.same:
  cmp dword [wantVector], 0
  jne .faulted
  ; accessed everywhere, dirty after a write
  mov eax, [pdeAt]
  mov eax, [es:eax]
  mov ecx, [pteAt]
  mov ecx, [es:ecx]
  and eax, ecx
  test al, 0x20
  jz .bad
  cmp dword [kind], WRITE
  je .dirty
  cmp dword [kind], MODIFY
  jne .end
.dirty:
  test cl, 0x40
  jz .bad
.end:
  ret
.faulted:
  ; the address
  mov eax, [cr2Seen]
  sub eax, [linear]
  mov ecx, [kind]
  cmp al, [offsets + ecx]
  je .end
.bad:
  cmp dword [differences], 20
  jae .counted
  mov eax, [pde]
  call tell
  mov eax, [pte]
  call tell
  mov eax, [wp]
  call tell
  mov eax, [kind]
  call tell
  mov eax, [user]
  call tell
  mov eax, [vector]
  call tell
  mov eax, [errorCode]
  call tell
  mov eax, [wantVector]
  call tell
  mov eax, [wantCode]
  call tell
  mov al, 10
  out 0xE9, al
.counted:
  inc dword [differences]
  ret
tell:
  call printHex
  mov al, ' '
  out 0xE9, al
  ret

; Fetches fault in the flat segments: the frame's CS goes back to the test's.
note:
  mov eax, cr2
  mov [cr2Seen], eax
  cmp word [esp + 24], FLATCODE
  jne .not0
  mov word [esp + 24], CODE0
.not0:
  cmp word [esp + 24], CODEFLAT3
  jne .not3
  mov word [esp + 24], CODE3
.not3:
  ret

  align 4
linear: dd 0
pdeAt: dd 0
pteAt: dd 0
wp: dd 0
pde: dd 0
pte: dd 0
rights: dd 0
reverse: dd 0
step: dd 0
user: dd 0
kind: dd 0
wantVector: dd 0
wantCode: dd 0
returnTo: dd 0
cr2Seen: dd 0
savedESP: dd 0
features: dd 0
differences: dd 0
pointer: dd 0, 0
offsets: db 4, 8, 12, 0x20
hasWP: db 0
%include "end.inc"
