; The 8x16 text font alone, for what the emulator itself writes into its window.
%include "font8x16.inc"
