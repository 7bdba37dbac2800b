; INT 1Ah and INT 08h.
; Expected, after the PC/AT BIOS interface: ticks that advance and can be set, INT 1Ch each tick,
; midnight told once, date and time in BCD that can be set, an alarm that calls INT 4Ah once set.
%include "harness.inc"

test:
        mov     ah, 0
        int     0x1A
        shl     ecx, 16
        mov     cx, dx
        cmp     ecx, 0x1800B0
        expect  b, "less ticks than a day has"
        mov     word [0x1C * 4], user_tick
        mov     word [0x1C * 4 + 2], 0
        mov     ebx, [0x46C]
.wait:  mov     eax, [0x46C]
        sub     eax, ebx
        cmp     eax, 3
        jb      .wait
        cmp     byte [ticks_seen], 2
        expect  ae, "INT 1Ch each tick"

        ; midnight
        mov     ah, 1
        mov     cx, 0x0018
        mov     dx, 0x00AE
        int     0x1A
        mov     ah, 0
        int     0x1A
        or      al, al
        expect  z, "no midnight yet"
        mov     eax, [0x46C]
.midnight:
        cmp     dword [0x46C], 0x100
        ja      .midnight
        mov     ah, 0
        int     0x1A
        cmp     al, 1
        expect  e, "midnight"
        or      cx, cx
        expect  z, "a new day"
        mov     ah, 0
        int     0x1A
        or      al, al
        expect  z, "midnight is told once"

        ; date and time
        mov     ah, 5
        mov     cx, 0x1999
        mov     dx, 0x1231
        int     0x1A
        mov     ah, 3
        mov     cx, 0x2358
        mov     dx, 0x5700
        int     0x1A
        mov     ah, 4
        int     0x1A
        expect  nc, "the date"
        cmp     cx, 0x1999
        expect  e, "the year set"
        cmp     dx, 0x1231
        expect  e, "the day set"
        mov     ah, 2
        int     0x1A
        expect  nc, "the time"
        cmp     cx, 0x2358
        expect  e, "the time set"
        cmp     dh, 0x57
        expect  ae, "the second set"
        cmp     dh, 0x58
        expect  be, "the second set, not later"
        or      dl, dl
        expect  z, "no daylight saving"

        ; the alarm
        mov     word [0x4A * 4], alarm
        mov     word [0x4A * 4 + 2], 0
        mov     ah, 6
        mov     cx, 0x2359
        mov     dx, 0x0000
        int     0x1A
        expect  nc, "the alarm is set"
        mov     ah, 6
        int     0x1A
        expect  c, "only one alarm"
        mov     ah, 3
        mov     cx, 0x2358
        mov     dx, 0x5900
        int     0x1A
        mov     ebx, [0x46C]
.alarm: cmp     byte [alarm_seen], 1
        je      .rang
        mov     eax, [0x46C]
        sub     eax, ebx
        cmp     eax, 60
        expect  b, "the alarm calls INT 4Ah"
        jmp     .alarm
.rang:  mov     ah, 7
        int     0x1A
        mov     ah, 6
        mov     cx, 0x0100
        mov     dx, 0
        int     0x1A
        expect  nc, "after 07h another alarm may be set"
        mov     ah, 7
        int     0x1A
        mov     ax, 0xB101
        int     0x1A
        jc      .no_pci
        cmp     edx, 0x20494350
        expect  e, "PCI BIOS, if it is there"
.no_pci:
        mov     ah, 0x77
        int     0x1A
        expect  c, "no function 77h"
        jmp     pass

user_tick:
        inc     byte [cs:ticks_seen]
        iret
alarm:  mov     byte [cs:alarm_seen], 1
        iret
ticks_seen:
        db      0
alarm_seen:
        db      0
%include "footer.inc"
