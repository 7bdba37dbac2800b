; The video BIOS as the expansion ROM of the Cirrus Logic GD5446.

%define PCI_VENDOR 0x1013
%define PCI_DEVICE 0x00B8
%include "vgabios.asm"
